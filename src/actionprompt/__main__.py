"""`python -m actionprompt`, which is what `accelerate launch -m actionprompt` starts."""

from actionprompt.commands import main

if __name__ == "__main__":
    raise SystemExit(main())
