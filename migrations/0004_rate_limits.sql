-- How much of each limited allowance is used up, by one row for each who has used some: the generic cell rate algorithm
-- needs no more than the time at which the allowance will be whole again.
--
-- Unlogged: a request then waits for no disk. A server that is stopped and started keeps the rows; one that crashed
-- starts with an empty table, which gives everyone their whole allowance, and a standby has none.

create unlogged table rate_limits (
  -- What is limited, such as turns.
  policy varchar(32) not null,
  -- Whom: a user's id, or a client's network.
  who varchar(64) not null,
  whole_at timestamptz not null,
  primary key (policy, who)
  -- No index on whole_at: the hourly clean-up may read all of a small table, and without it an update moves no index entry.
) with (fillfactor = 70);
