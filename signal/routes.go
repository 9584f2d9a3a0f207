package signal

import (
	"context"

	"github.com/parley-sfu/parley/signal/wire"
)

// route says who handles a message type, and who may send it.
type route struct {
	from   stage // what the sender must have reached
	host   bool  // hosts only
	handle func(ctx context.Context, s *session, q *request, body any) error
}

// routes is the table of all messages from clients.
func routes() map[string]route {
	return map[string]route{
		wire.TypeHello:              {from: arriving, handle: on(hello)},
		wire.TypeResume:             {from: arriving, handle: on(resume)},
		wire.TypeOffer:              {from: seated, handle: on(offer)},
		wire.TypeCandidate:          {from: seated, handle: on(candidate)},
		wire.TypePresenceUpdate:     {from: seated, handle: on(presenceUpdate)},
		wire.TypeSubscriptionUpdate: {from: seated, handle: on(subscriptionUpdate)},
		wire.TypeChat:               {from: seated, handle: on(chatMessage)},
		wire.TypeAdmit:              {from: seated, host: true, handle: on(admit)},
		wire.TypeDeny:               {from: seated, host: true, handle: on(deny)},
		wire.TypeMute:               {from: seated, host: true, handle: on(mute)},
		wire.TypeRemove:             {from: seated, host: true, handle: on(remove)},
		wire.TypeLock:               {from: seated, host: true, handle: on(lockRoom)},
		wire.TypeUnlock:             {from: seated, host: true, handle: on(unlockRoom)},
		wire.TypeEnd:                {from: seated, host: true, handle: on(endRoom)},
	}
}

// on fits a handler of one message struct into the table.
func on[T any](handle func(context.Context, *session, *request, *T) error) func(context.Context, *session, *request, any) error {
	return func(ctx context.Context, s *session, q *request, body any) error {
		message, ok := body.(*T)
		if !ok {
			return invalid("The message is not what its type says.") // the decoder's table and this one differ
		}
		return handle(ctx, s, q, message)
	}
}
