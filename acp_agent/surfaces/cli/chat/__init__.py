"""`acp chat`: a session in the terminal.

The terminal belongs to the main thread, which reads lines and draws; the agent works on an event loop beside it, so
that neither typing nor drawing ever holds up the other, and Ctrl-C means the same in every state.
"""
