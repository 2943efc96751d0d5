"""`python -m callbot.call_router`"""

from callbot.call_router.main import main

main()
