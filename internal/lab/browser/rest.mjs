// Talks to the node under test over REST, from where the browsers are.

export const url = process.env.LAB_URL
export const token = process.env.LAB_TOKEN

/** Waits until the node says that it is ready. */
export async function ready(limit = 40_000) {
  const deadline = Date.now() + limit
  for (let last = 'nothing'; ; ) {
    try {
      const answer = await fetch(`${url}/readyz`)
      if (answer.ok) return
      last = `${answer.status} ${await answer.text()}`
    } catch (error) {
      last = String(error)
    }
    if (Date.now() > deadline) throw new Error(`the node is not ready: ${last}`)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

/** Makes a meeting that guests may join. */
export async function newMeeting(title, settings = {}) {
  const answer = await fetch(`${url}/v1/meetings`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ title, settings: { guests: true, ...settings } }),
  })
  if (answer.status !== 201) throw new Error(`POST /v1/meetings: ${answer.status} ${await answer.text()}`)
  const meeting = await answer.json()
  return { ...meeting, host_url: `${meeting.join_url}#host_key=${meeting.host_key}` }
}
