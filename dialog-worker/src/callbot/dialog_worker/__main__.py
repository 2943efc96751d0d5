from callbot.dialog_worker.main import main

main()
