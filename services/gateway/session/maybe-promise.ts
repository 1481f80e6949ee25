/**
 * A value that is there, or will be.
 *
 * Why  a session that has nothing to look up must cost no turn of the event loop: an `await` for each command is a
 *      third of the time of a refusal. So what may have to wait says so in its type, and goes on at once where not.
 */
export type MaybePromise<Value> = Value | Promise<Value>

/** Goes on with the value now, or when it is there. */
export function andThen<Value, Next>(
  value: MaybePromise<Value>,
  next: (value: Value) => MaybePromise<Next>,
): MaybePromise<Next> {
  return value instanceof Promise ? value.then(next) : next(value)
}
