"""Pages for people over the REST surface's facts: runs, approvals, diffs, costs. Empty so far.

What will live here are server-rendered pages with little script: the queue and its state, one run as it happens, what
waits for a person, a diff with accept and reject, and what was spent.

Promises
- Works with the keyboard and a screen reader; meaning never rests on colour alone.
- Whatever a page does can be done by the command line and by REST as well.
- Text written by a model or found in a repository is shown as text and never becomes markup.

Never
- Load anything from another host.
- Act on a GET, or accept a POST without proof that it came from our own page.
- Decide, or keep state that is not in the store.
"""
