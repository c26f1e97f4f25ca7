"""The revisions of the branch ``dpop_ext``, for Alembic."""
