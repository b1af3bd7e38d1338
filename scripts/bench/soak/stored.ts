import type { SQL } from "bun"

/**
 * Inconsistencies of the stored data, as sentences. `answered`: ids of the completed turns. A session with `soak` in its
 * metadata has turns with tools and of Realtime, which may have a question or an answer only.
 */
export const inconsistencies = async (
  sql: SQL,
  answered: ReadonlyArray<string>,
): Promise<ReadonlyArray<string>> => {
  const [running] = await sql`select count(*)::int as count from turns where state = 'running'`
  const [unpaired] = await sql`
    select count(*)::int as count from (
      select turn_id from messages
      join sessions on sessions.id = messages.session_id
      group by turn_id, metadata ? 'soak'
      having count(distinct session_id) <> 1
        or case when metadata ? 'soak' then string_agg(role, ' ' order by sequence) ~ 'assistant .*user'
          else array_agg(role::text order by sequence) <> array['user', 'assistant'] end
    ) as odd`
  const [unowned] = await sql`
    select count(*)::int as count from messages
    where not exists (
      select 1 from turns
      where turns.id = messages.turn_id and turns.session_id = messages.session_id
        and turns.state in ('completed', 'interrupted', 'cancelled')
    )`
  const [unsaid] = await sql`
    select count(*)::int as count from turns
    where state = 'completed' and not is_aside and not exists (select 1 from items where items.turn_id = turns.id)`
  const [lost] = await sql`
    select count(*)::int as count from unnest(${sql.array([...answered], "uuid")}::uuid[]) as answered (id)
    where not exists (select 1 from turns where turns.id = answered.id and turns.state = 'completed')`
  return (
    [
      [running, "still running"],
      [unpaired, "without a question and one answer"],
      [unowned, "messages without their turn"],
      [unsaid, "completed without items"],
      [lost, "answered whole and not saved"],
    ] as const
  ).flatMap(([{ count }, what]) => (count === 0 ? [] : [`${count} ${what}`]))
}
