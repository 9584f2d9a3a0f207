import { afterEach, beforeEach, expect, test, vi } from 'vitest'

class OwnPeer {
  constructor(readonly config: RTCConfiguration) {}
}
class FramedPeer extends OwnPeer {}

/** A frame as a document makes it. */
class Frame {
  allow = ''
  hidden = false
  isConnected = false
  contentWindow: { RTCPeerConnection: typeof FramedPeer } | null = { RTCPeerConnection: FramedPeer }
}

const config: RTCConfiguration = { bundlePolicy: 'max-bundle' }
let frames: Frame[]
let wildcardPeer: (config: RTCConfiguration) => unknown

beforeEach(async () => {
  frames = []
  vi.stubGlobal('RTCPeerConnection', OwnPeer)
  vi.stubGlobal('navigator', { userAgentData: {} })
  vi.stubGlobal('document', {
    createElement: () => {
      const frame = new Frame()
      frames.push(frame)
      return frame
    },
    documentElement: {
      append: (frame: Frame) => {
        frame.isConnected = true
      },
    },
  })
  vi.resetModules()
  wildcardPeer = (await import('../src/wildcard.ts')).wildcardPeer
})
afterEach(() => {
  vi.unstubAllGlobals()
})

test('in Chromium connections are made in one hidden frame that may use no camera and no microphone', () => {
  const peers = [wildcardPeer(config), wildcardPeer(config)]
  expect(peers.every(peer => peer instanceof FramedPeer && peer.config === config)).toBe(true)
  expect(frames).toMatchObject([{ allow: "camera 'none'; microphone 'none'", hidden: true, isConnected: true }])
})

test('a frame that the page has thrown away is replaced', () => {
  wildcardPeer(config)
  for (const frame of frames) Object.assign(frame, { isConnected: false, contentWindow: null })
  expect(wildcardPeer(config)).toBeInstanceOf(FramedPeer)
  expect(frames).toHaveLength(2)
})

test("in other browsers they are the page's own", () => {
  vi.stubGlobal('navigator', {})
  const peer = wildcardPeer(config)
  expect([peer instanceof OwnPeer, peer instanceof FramedPeer, frames.length]).toEqual([true, false, 0])
})
