-- What a provider's server refused in requests for a model, so that a restarted service does not send it again.

create table provider_lessons (
  -- stt, llm or tts.
  stage varchar(8) not null,
  -- The base URL, without credentials and query.
  server text not null,
  model text not null,
  -- The refused parameter, and its refused value as JSON. With another value it is sent again.
  parameter text not null,
  value text not null,
  -- What was sent in its place; null: nothing.
  instead text,
  -- A lesson ends after 30 days, because servers are upgraded.
  learned_at timestamptz not null default now(),
  primary key (stage, server, model, parameter, value)
);
