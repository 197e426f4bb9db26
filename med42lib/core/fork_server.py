"""The first import of a fork server: it dies with the process that started it, and each of its forks with it."""

from med42lib.core.process import die_with_parent, forks_die_with_this_process

die_with_parent()
forks_die_with_this_process()
