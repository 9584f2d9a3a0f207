/** A frame's window, with all that a window has. */
type Realm = Window & typeof globalThis

let frame: HTMLIFrameElement | undefined

/**
 * Makes a peer connection whose sockets outlive a change of networks, where the browser can be brought to that.
 *
 * A page that may use a camera or a microphone has its media sockets bound to the machine's addresses (RFC 8828 section 5.2,
 * mode 1). On another network they are dead, and Chromium looks for the new address only seconds later. Where a frame may use
 * neither, it binds them to the wildcard address (mode 2): the machine's routes decide for each packet, as they do for the
 * page's other traffic, and the same sockets go on from the new address. Capturing and playing stay with the page.
 *
 * What other browsers make of such a frame is not known, so there the connection is the page's own.
 */
export function wildcardPeer(config: RTCConfiguration): RTCPeerConnection {
  const Peer = realm()?.RTCPeerConnection ?? RTCPeerConnection
  return new Peer(config)
}

/** The window of a hidden frame, one for all connections of the page: removing it would close them. */
function realm(): Realm | undefined {
  const browser = globalThis.navigator as { userAgentData?: unknown } | undefined
  if (browser?.userAgentData === undefined) return undefined // none of Chromium's kind
  if (!frame?.isConnected) {
    frame = document.createElement('iframe')
    frame.allow = "camera 'none'; microphone 'none'"
    frame.hidden = true
    document.documentElement.append(frame)
  }
  return (frame.contentWindow as Realm | null) ?? undefined
}
