/**
 * Has lost packets of voices asked for again (RFC 4585 section 6.2.1): browsers can, and offer it for pictures only. In an offer it
 * is said of the Opus that m-lines receive.
 */
export function askAgain(sdp: string): string {
  return sdp
    .split(/^(?=m=)/m)
    .map(section => {
      if (!/^m=audio /.test(section) || !/^a=recvonly\r?$/m.test(section)) return section
      return section.replace(/^(a=rtpmap:(\d+) opus\/.*(\r?\n))/im, '$1a=rtcp-fb:$2 nack$3')
    })
    .join('')
}
