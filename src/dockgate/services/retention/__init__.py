"""The removal of images, rows and files that are no longer needed.

`garbage_collection.py` runs a collection: it decides from `registry_snapshot.py` which images to remove and deletes
their blobs, then `row_retention.py` removes rows and files. `local_storage.py` cleans up each host afterwards.
`purge.py` removes old rows all the time.
"""
