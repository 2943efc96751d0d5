from callbot.stt_worker.main import main

main()
