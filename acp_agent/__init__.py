"""An agent that works over your projects, survives being killed, and can be watched from any surface.

One idea carries the package: decide, do, record. A run is one durable unit of agent work. Its state is the fold of its
events; one pure function, `agent.decide.next_action`, says what happens next; a short driver does that one thing and
records the fact. Nothing else holds state, so resuming after `kill -9` is: claim the run, fold its events, go on.

Layers, each importing only from those below it (held by import-linter):

    main        entry of the console scripts; the only module that knows all surfaces
    surfaces    thin adapters, one per outside language
    app         composition root: settings become parts
    testing     public doubles and rigs
    engines     who drives queued runs
    loops       many runs towards a goal
    fleet       one prompt over many projects
    runs        the life of one run
    agent  llm  tools  store  config  observe      siblings that do not know each other
    domain      the nouns and the ports

`docs/architecture.md` binds; each package's docstring is its page of it.
"""

__version__ = "0.1.0"
