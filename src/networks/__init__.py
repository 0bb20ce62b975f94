"""Networks: plain torch modules that know neither Lightning nor Hydra and compute no loss.

Each takes ``spec`` (:class:`src.data.datamodule.Spec`) for the shapes, and its own sizes from ``conf/model``.
"""
