"""`python -m actionprompt`, which is what `accelerate launch -m actionprompt` starts."""

from actionprompt.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
