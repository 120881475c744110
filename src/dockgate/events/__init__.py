"""Events, and the notifications and webhooks that follow from them.

`model` has the events, `ports` the interfaces of adapters. `targets/`,
`webhooks/`, `queues/` and `pushes/` hold one file an adapter or format.
Modules in this folder are pure: standard library, no I/O, no clock.
"""
