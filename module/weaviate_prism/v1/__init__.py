"""`prism.v1` in Python: messages and stubs, compiled from `proto/prism/v1` when the package is built or installed."""
