/** How far a generation is above the one before: further than the server's addresses are from each other. */
const step = 1 << 16
const highest = 4095

/**
 * Ranks the server's candidates in an answer, so that a browser leaves a path of before an ICE restart as soon as one of
 * after it works. By itself it keeps to the one of the higher priority, which may be the dead one, until nothing has come
 * over that for seconds.
 *
 * A pair counts as much as the lesser of its two ends (RFC 8445 section 6.1.2.3). So the server's ends get half of what they
 * have, which is less than any end of a browser's has but a relay's, and more with each generation. The order of the server's
 * own candidates stays, and it alone decides among direct paths; what goes through a relay stays last.
 */
export function rankCandidates(sdp: string, generation: number): string {
  const lift = step * Math.min(generation, highest)
  return sdp.replace(
    /^(a=candidate:\S+ \d+ \S+ )(\d+)/gm,
    (_, head: string, priority: string) => head + (Math.floor(Number(priority) / 2) + lift),
  )
}
