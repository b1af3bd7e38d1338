import { Effect, Option, Redacted, Schema, Struct } from "effect"
import { Elysia } from "elysia"
import { DeliveryLog } from "../webhooks/delivery-log.ts"
import {
  DeliveryState,
  NewWebhook,
  ReplayRange,
  SecretRotation,
  Webhook,
  WebhookChanges,
} from "../webhooks/model.ts"
import { Webhooks } from "../webhooks/webhooks.ts"
import { signedIn } from "./auth.ts"
import { formOrJsonBody } from "./body.ts"
import { ValidationFailed } from "./errors.ts"
import { noBody, noContent } from "./no-body.ts"
import * as operations from "./openapi/operations/webhooks.ts"
import { DeliveryList, OneDelivery, OneWebhook, Replayed, WebhookCreated, WebhookList } from "./payloads.ts"
import { wholeNumber } from "./query.ts"
import { makeRun } from "./run.ts"
import { strictBody } from "./strict-body.ts"
import { noStore } from "./users.ts"

const deliveriesQuery = Schema.standardSchemaV1(
  Schema.Struct({
    limit: wholeNumber(100, 20),
    before: Schema.optionalWith(
      Schema.UUID.annotations({
        description: "The id of a delivery. Only earlier ones are returned.",
        message: () => ({ message: "must be the id of a delivery", override: true }),
      }),
      { as: "Option" },
    ),
    state: Schema.optionalWith(
      DeliveryState.annotations({
        description: "Only deliveries in this state.",
        message: () => ({ message: "must be pending, delivered or failed", override: true }),
      }),
      { as: "Option" },
    ),
  }),
)

const changeable: ReadonlyArray<string> = Struct.keys(WebhookChanges.fields)
const readOnly = Struct.keys(Webhook.fields).filter((name) => !changeable.includes(name))

const requireRange = ({ from, to }: ReplayRange) =>
  from < Option.getOrElse(to, () => new Date())
    ? Effect.void
    : new ValidationFailed({ message: operations.wrongRange })

const encodeCreated = Schema.encodeSync(WebhookCreated)
const encodeWebhook = Schema.encodeSync(OneWebhook)
const encodeWebhooks = Schema.encodeSync(WebhookList)
const encodeDelivery = Schema.encodeSync(OneDelivery)
const encodeDeliveries = Schema.encodeSync(DeliveryList)
const encodeReplayed = Schema.encodeSync(Replayed)

/** The webhooks of the signed-in user, and what was sent to them. */
export const webhooksRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  const webhooks = yield* Webhooks
  const log = yield* DeliveryLog

  return new Elysia({ prefix: "/webhooks" })
    .use(yield* signedIn("requests"))
    .get(
      "",
      ({ request, user }) =>
        run(
          request,
          Effect.map(webhooks.list(user.id), (list) => encodeWebhooks({ webhooks: list })),
        ),
      { detail: operations.list },
    )
    .get(
      "/:id",
      ({ request, user, params }) =>
        run(
          request,
          Effect.map(webhooks.get(user.id, params.id), (webhook) => encodeWebhook({ webhook })),
        ),
      { detail: operations.get },
    )
    .delete(
      "/:id",
      ({ request, user, params }) => run(request, Effect.map(webhooks.remove(user.id, params.id), noContent)),
      { ...noBody, detail: operations.remove },
    )
    .get(
      "/:id/deliveries",
      ({ request, user, params, query }) =>
        run(
          request,
          Effect.map(log.list(user.id, params.id, query), (deliveries) => encodeDeliveries({ deliveries })),
        ),
      { query: deliveriesQuery, detail: operations.deliveries },
    )
    .post(
      "/:id/test",
      ({ request, user, params }) =>
        run(
          request,
          Effect.map(log.test(user.id, params.id), (delivery) =>
            Response.json(encodeDelivery({ delivery }), { status: 202 }),
          ),
        ),
      { ...noBody, detail: operations.test },
    )
    .post(
      "/:id/deliveries/:deliveryId/replay",
      ({ request, user, params }) =>
        run(
          request,
          Effect.map(log.replay(user.id, params.id, params.deliveryId), (delivery) =>
            Response.json(encodeDelivery({ delivery }), { status: 202 }),
          ),
        ),
      { ...noBody, detail: operations.replay },
    )
    .use(yield* formOrJsonBody())
    .post(
      "",
      ({ request, user, body }) =>
        run(
          request,
          Effect.map(webhooks.create(user.id, body), ({ webhook, secret }) =>
            Response.json(encodeCreated({ webhook, secret: Redacted.value(secret) }), {
              status: 201,
              headers: { ...noStore, location: `/api/v1/webhooks/${webhook.id}` },
            }),
          ),
        ),
      { body: strictBody(NewWebhook), detail: operations.create },
    )
    .patch(
      "/:id",
      ({ request, user, params, body }) =>
        run(
          request,
          Effect.map(webhooks.update(user.id, params.id, body), (webhook) => encodeWebhook({ webhook })),
        ),
      { body: strictBody(WebhookChanges, readOnly), detail: operations.update },
    )
    .post(
      "/:id/rotate-secret",
      ({ request, user, params, body }) =>
        run(
          request,
          Effect.map(webhooks.rotateSecret(user.id, params.id, body.graceSeconds), ({ webhook, secret }) =>
            Response.json(encodeCreated({ webhook, secret: Redacted.value(secret) }), { headers: noStore }),
          ),
        ),
      { body: strictBody(SecretRotation), detail: operations.rotateSecret },
    )
    .post(
      "/:id/replay",
      ({ request, user, params, body }) =>
        run(
          request,
          Effect.map(
            Effect.zipRight(requireRange(body), log.replayAll(user.id, params.id, body)),
            (replayed) => Response.json(encodeReplayed({ replayed }), { status: 202 }),
          ),
        ),
      { body: strictBody(ReplayRange), detail: operations.replayAll },
    )
})
