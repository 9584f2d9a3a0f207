package wire

import "reflect"

// Definition ties a message type to the struct that has its fields.
type Definition struct {
	Type string
	Body reflect.Type // a struct type of this package
}

func define[T any](typ string) Definition {
	return Definition{Type: typ, Body: reflect.TypeFor[T]()}
}

// ClientMessages lists every message a client may send.
func ClientMessages() []Definition {
	return []Definition{
		define[Hello](TypeHello),
		define[Offer](TypeOffer),
		define[Resume](TypeResume),
		define[Candidate](TypeCandidate),
		define[PresenceUpdate](TypePresenceUpdate),
		define[SubscriptionUpdate](TypeSubscriptionUpdate),
		define[ChatSend](TypeChat),
		define[Target](TypeAdmit),
		define[Target](TypeDeny),
		define[Mute](TypeMute),
		define[Target](TypeRemove),
		define[Empty](TypeLock),
		define[Empty](TypeUnlock),
		define[Empty](TypeEnd),
	}
}

// ServerMessages lists every message a server may send.
func ServerMessages() []Definition {
	return []Definition{
		define[Answer](TypeAnswer),
		define[Snapshot](TypeSnapshot),
		define[ParticipantEvent](TypeParticipantJoined),
		define[ParticipantEvent](TypeParticipantLeft),
		define[PresenceChanged](TypePresenceChanged),
		define[SettingsChanged](TypeSettingsChanged),
		define[TrackEvent](TypeTrackPublished),
		define[TrackEvent](TypeTrackUnpublished),
		define[Slots](TypeSlots),
		define[Layers](TypeLayers),
		define[ActiveSpeakers](TypeActiveSpeakers),
		define[Waiting](TypeWaiting),
		define[ParticipantEvent](TypeKnock),
		define[Empty](TypeAdmitted),
		define[Ended](TypeEnded),
		define[Migrate](TypeMigrate),
		define[ICEServers](TypeICEServers),
		define[Chat](TypeChat),
		define[Error](TypeError),
		define[Empty](TypeOK),
	}
}

// CloseCodes names the close codes of a session.
func CloseCodes() map[string]int {
	return map[string]int{
		"slow":        CloseSlow,
		"replaced":    CloseReplaced,
		"going_away":  CloseGoingAway,
		"bad_request": CloseBadRequest,
		"denied":      CloseDenied,
		"full":        CloseFull,
		"ended":       CloseEnded,
		"removed":     CloseRemoved,
		"rate":        CloseRate,
		"too_big":     CloseTooBig,
	}
}

// ErrorCodes lists the codes of Error, in the order of the contract.
func ErrorCodes() []string {
	return []string{
		CodeInvalidMessage, CodeUnknownType, CodeMessageTooBig, CodeRateLimited, CodeNotHost, CodeNotFound, CodeDenied,
		CodeRoomFull, CodeCamerasFull, CodePublishDenied, CodeMeetingEnded, CodeRemoved, CodeLocked, CodeTokenInvalid,
		CodeTokenExpired, CodeTokenRevoked, CodeSessionUnknown, CodeBadSDP, CodeInternal,
	}
}
