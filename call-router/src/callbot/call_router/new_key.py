"""`python -m callbot.call_router.new_key KID`: prints one entry for a key ring."""

import sys

from callbot.runtime.keyring import KeyRing, new_key


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m callbot.call_router.new_key KID")
    entry = new_key(sys.argv[1])
    try:
        KeyRing.parse(entry)
    except ValueError:
        sys.exit("a key id has 1 to 16 letters, digits, _ or -")
    print(entry)


if __name__ == "__main__":
    main()
