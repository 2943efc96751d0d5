"""`python -m callbot.gateway`"""

from callbot.gateway.main import main

main()
