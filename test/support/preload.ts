import { afterAll } from "bun:test"
import { stopCluster } from "./database.ts"

afterAll(stopCluster)
