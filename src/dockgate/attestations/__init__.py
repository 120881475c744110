"""What is said of images and signed: in-toto statements in DSSE envelopes, their keys, and their place beside the image
in its registry.
"""
