import * as BunContext from "@effect/platform-bun/BunContext"
import { Layer, RuntimeFlags } from "effect"
import { ClientSecrets } from "./accounts/client-secrets.ts"
import { Keys } from "./accounts/keys.ts"
import { Memories } from "./accounts/memories.ts"
import { Secrets } from "./accounts/secrets.ts"
import { Users } from "./accounts/users.ts"
import { Agents } from "./agent/agents.ts"
import { StoredAgents } from "./agent/stored-agents.ts"
import * as DotEnv from "./config/dotenv.ts"
import { Settings } from "./config.ts"
import * as CleanUp from "./conversation/clean-up.ts"
import { ClientCalls } from "./conversation/client-calls.ts"
import * as Endings from "./conversation/endings.ts"
import { AccountExport } from "./conversation/export.ts"
import { History } from "./conversation/history.ts"
import { KeyedTurns } from "./conversation/keyed-turns.ts"
import { Ledger } from "./conversation/ledger.ts"
import { RunningTurns } from "./conversation/running-turns.ts"
import { SessionItems } from "./conversation/session-items.ts"
import { Sessions } from "./conversation/sessions.ts"
import { Summaries } from "./conversation/summaries.ts"
import { ToolCalls } from "./conversation/tool-calls.ts"
import { Encryption } from "./db/encryption.ts"
import * as Postgres from "./db/postgres.ts"
import { Ffmpeg } from "./ffmpeg/ffmpeg.ts"
import { HttpServer } from "./http/server.ts"
import { WrongKeys } from "./http/wrong-keys.ts"
import { Admission } from "./limits/admission.ts"
import { ConversionSlots } from "./limits/conversion-slots.ts"
import { DecodingSlots } from "./limits/decoding-slots.ts"
import { RateLimits } from "./limits/rate-limits.ts"
import { Uploads } from "./limits/uploads.ts"
import * as Otlp from "./otlp.ts"
import { Outbound } from "./outbound/outbound.ts"
import * as Prometheus from "./prometheus.ts"
import * as Providers from "./providers/layer.ts"
import { Lessons } from "./providers/lessons.ts"
import { RealtimeSessions } from "./realtime/session.ts"
import { RealtimeSockets } from "./realtime/sockets.ts"
import * as Status from "./status.ts"
import * as Telemetry from "./telemetry.ts"
import * as TempFolder from "./temp-folder.ts"
import { DefinedTools } from "./tools/defined-tools.ts"
import { ServiceTools } from "./tools/service-tools.ts"
import { Turns } from "./turn/turns.ts"
import { Spending } from "./usage/spending.ts"
import { UsageDays } from "./usage/usage-days.ts"
import { VoiceActivity } from "./vad/voice-activity.ts"
import * as WarmUp from "./warm-up.ts"
import { DeliveryLog } from "./webhooks/delivery-log.ts"
import { DeliveryQueue } from "./webhooks/delivery-queue.ts"
import * as Sender from "./webhooks/sender.ts"
import { WebhookSignal } from "./webhooks/signal.ts"
import { Webhooks } from "./webhooks/webhooks.ts"

const providers = Providers.layer.pipe(
  Layer.provide(Lessons.layer),
  Layer.provideMerge(Layer.merge(Postgres.layer, Ffmpeg.layer)),
)

const webhooks = DeliveryLog.layer.pipe(
  Layer.provideMerge(Layer.provide(Webhooks.layer, Encryption.layer)),
  Layer.provideMerge(Layer.merge(WebhookSignal.layer, DeliveryQueue.layer)),
)

const account = Layer.provideMerge(
  AccountExport.layer,
  Layer.mergeAll(
    Keys.layer,
    ClientSecrets.layer,
    Memories.layer,
    Layer.provide(Secrets.layer, Encryption.layer),
    webhooks,
  ),
)

const agents = Layer.merge(Layer.provide(Agents.layer, DefinedTools.layer), StoredAgents.layer)

/** What a test may replace. */
const replaceable = { realtimeSessions: RealtimeSessions.layer, serviceTools: ServiceTools.layer }

/** Every part of the service, each on the parts below it. Built from the bottom up, stopped from the top down. */
export const layerWith = ({ realtimeSessions, serviceTools }: typeof replaceable) =>
  Layer.mergeAll(
    WarmUp.layer.pipe(Layer.provideMerge(HttpServer.layer), Layer.provide(WrongKeys.layer)),
    CleanUp.layer,
    Endings.layer,
  ).pipe(
    Layer.provideMerge(Layer.provide(Sender.layer, Layer.merge(Outbound.layer, Encryption.layer))),
    Layer.provideMerge(Layer.merge(realtimeSessions, RealtimeSockets.layer)),
    Layer.provideMerge(Layer.merge(Turns.layer, SessionItems.layer)),
    Layer.provideMerge(RunningTurns.layer),
    Layer.provideMerge(Status.layer),
    Layer.provideMerge(
      Layer.mergeAll(Ledger.layer, KeyedTurns.layer, ToolCalls.layer, ClientCalls.layer, Summaries.layer),
    ),
    Layer.provideMerge(Layer.provide(agents, serviceTools)),
    Layer.provideMerge(
      Layer.mergeAll(
        Users.layer,
        account,
        Sessions.layer,
        History.layer,
        RateLimits.layer,
        Spending.layer,
        UsageDays.layer,
      ),
    ),
    Layer.provideMerge(
      Layer.mergeAll(
        providers,
        Admission.layer,
        DecodingSlots.layer,
        ConversionSlots.layer,
        Uploads.layer,
        VoiceActivity.layer,
      ),
    ),
    Layer.provideMerge(TempFolder.layer),
    Layer.provideMerge(Telemetry.lastLine),
    Layer.provideMerge(DotEnv.layer),
    Layer.provideMerge(Layer.merge(Otlp.layer, Prometheus.layer)),
    Layer.provideMerge(Telemetry.layer),
    Layer.provideMerge(Settings.layer),
    // Effect's own counts of fibers cost time with every fiber, and nobody reads them.
    Layer.provideMerge(Layer.merge(BunContext.layer, RuntimeFlags.disableRuntimeMetrics)),
  )

export const layer = layerWith(replaceable)

/** What the operator's commands for users need; it may be built while the service runs. */
export const administration = Layer.mergeAll(Users.layer, Keys.layer).pipe(
  Layer.provide(Postgres.layerBeside),
  Layer.provideMerge(Telemetry.onlyWarnings),
  Layer.provideMerge(Settings.layer),
  Layer.provide(BunContext.layer),
)

/** The database and the log alone: building it brings the schema up to date, also while the service runs. */
export const migrationsOnly = Postgres.layerBeside.pipe(
  Layer.provideMerge(Telemetry.layer),
  Layer.provide(Settings.layer),
  Layer.provide(BunContext.layer),
)
