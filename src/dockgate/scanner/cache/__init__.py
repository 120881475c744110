"""Cache what layers and images contain on disk, and read layers in parallel.

`layer_cache.py` has the content of a layer under its digest and the readers' versions, `inventory_cache.py` the
combined layers of an image; both use `file_cache.py`. `parallel.py` reads the layers that are missing.
`image_reader.py` reads whole images with all of these.
"""
