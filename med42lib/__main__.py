"""`python -m med42lib` is the `med42` command."""

from med42lib.core.process import die_with_parent, leave

die_with_parent()  # Before the imports below, which a machine at work takes a while for.

from med42lib.cli import main  # noqa: E402

leave(main())
