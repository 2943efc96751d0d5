"""`python -m callbot.tts_worker`"""

from callbot.tts_worker.main import main

main()
