"""Events, and who is notified of them.

`model` has events, rules, targets and messages; `dockgate_events`, `aws_events` and `verdict_events` make events.
`pattern` says which events a rule matches, `grouping` and `notification_texts` turn events into messages, `ports` has
the interfaces of adapters. `targets/`, `webhooks/`, `queues/` and `pushes/` hold one file an adapter or format,
`definitions/` reads rules and targets as people write them, `schemas/` describes every kind of event.
Modules in this folder are pure: standard library, no I/O, no clock.
"""
