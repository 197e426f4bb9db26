"""`python -m med42lib` is the `med42` command."""

from med42lib.core.process import die_with_parent, exit_at_once

die_with_parent()  # Before the imports below, which a machine at work takes a while for.

from med42lib.commands.main import main  # noqa: E402

exit_at_once(main())
