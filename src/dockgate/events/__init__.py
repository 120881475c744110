"""Events, and who is notified of them.

`model` and `envelope` have the events, `dockgate_events`, `aws_events` and `verdict_events` make them. `rule` and
`pattern` say which events go where, `grouping` and `notification_texts` turn them into messages, `ports` has the
interfaces of adapters. `targets/`, `webhooks/`, `queues/` and `pushes/` hold one file an adapter or format,
`definitions/` reads rules and targets as people write them, `schemas/` describes every kind of event.
Modules in this folder are pure: standard library, no I/O, no clock.
"""
