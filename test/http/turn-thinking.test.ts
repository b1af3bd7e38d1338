import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { readEvents } from "../support/events.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import type { Step } from "../support/upstream.ts"
