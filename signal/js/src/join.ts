import type { JoinRequest } from './rest.ts'

/** How to join. */
export interface JoinOptions {
  meetingId: string
  displayName: string
  role?: JoinRequest['role']
  hostKey?: string
  /** The region to enter through, whatever is nearer. */
  region?: string
  /** Round trips by region, from `Client.measureRegions`. */
  regionRtts?: Record<string, number>
}

/** What to ask of the server. */
export function joinRequest(options: JoinOptions): JoinRequest {
  const request: JoinRequest = { display_name: options.displayName }
  if (options.hostKey) request.host_key = options.hostKey
  const role = options.role ?? (options.hostKey ? 'host' : undefined)
  if (role) request.role = role
  if (options.region) request.region = options.region
  if (options.regionRtts && Object.keys(options.regionRtts).length > 0) request.region_rtts = options.regionRtts
  return request
}
