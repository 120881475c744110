"""What happened, and who is told.

`model` has the events, `notifications` and `webhook_delivery` what is sent and when it is tried again. `notifiers/`,
`webhooks/`, `queues/` and `pushes/` hold one file an adapter or format.
Modules in this folder are pure: standard library, no I/O, no clock.
"""
