"""What an image holds.

`model` has the nouns, `ports` the interfaces of images and ecosystems. `layers` reads one layer, `inventory` puts
layers together, `integrity/` finds package metadata that was changed without its files. `images/` opens images,
`ecosystems/` reads packages, `sboms/` reads bills of materials, `cache/` remembers what layers hold.
Modules in this folder are pure: standard library, no I/O, no clock.
"""
