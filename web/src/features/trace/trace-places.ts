/** The places of the trace list: one memory as long as the application lives, as the page comes and goes. */
import { createScrollMemory } from './scroll-memory.ts'

export const scrollMemory = createScrollMemory()
