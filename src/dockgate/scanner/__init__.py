"""Find the packages in an image.

`model` has the nouns, `ports` the interfaces of images and ecosystems. `layer_reader` reads one layer, `inventory`
combines layers, `integrity/` finds package metadata that was changed without its files. `images/` opens images,
`ecosystems/` reads packages (`standalone_ecosystem` is the base of those outside distributions, `vendors` tells who
built a package), `sboms/` reads bills of materials, `cache/` stores what layers contain.
Modules in this folder are pure: standard library, no I/O, no clock.
"""
