"""The model gateway: one port, several adapters, and everything that makes a provider bearable.

For: turning a conversation into a reply, streamed. The lean adapter speaks to OpenAI-compatible servers over httpx
(this package is its door); litellm, which serves every other provider and takes seconds to import, is imported by one
module here and nowhere else, in a thread. Around them: the chain of models, limits, breaker, key pools, prices and
cache.

Promises
- A failure is classified by code first, then by text: retry, next key, next model, shorten, or tell a person.
- An unknown price is unknown, never zero.
- A stream cut in the middle is a failure with what arrived so far, not a reply.
- Nothing is fetched at import; prices come from the package.

Never
- Decide what to do next, or run a tool.
- Write a key to a log, an event or an error, or put it into the environment of a child.
- Import litellm's proxy, or litellm before it is needed.
"""
