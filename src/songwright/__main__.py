"""`python -m songwright`."""

from songwright.cli import main

raise SystemExit(main())
