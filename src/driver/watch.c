#include "driver/registry.h"
#include "driver/service.h"
#include "driver/watch.h"
#include "grpc/server.h"

/* Lives in the call's arena. */
struct stream {
	struct loop *loop;
	struct grpc_call *call;
	struct registry_watch *watch;
	struct h2_chunk *waiting; /* refused by a client that does not keep up; NULL: none */
	struct later pump;
};

/* Lets go of everything; the call is to be answered then. */
static void stream_end(struct stream *s)
{
	loop_later_cancel(&s->pump);
	registry_watch_close(s->watch);
	h2_chunk_unref(s->waiting);
}

static bool send_waiting(struct stream *s)
{
	if (s->waiting == NULL)
		return true;
	if (!grpc_send_packed(s->call, s->waiting))
		return false;
	h2_chunk_unref(s->waiting);
	s->waiting = NULL;
	return true;
}

static void pump(struct later *l)
{
	struct stream *s = container_of(l, struct stream, pump);
	struct h2_chunk *message;
	enum registry_step step = REGISTRY_MESSAGE;

	while (send_waiting(s)) {
		step = registry_watch_next(s->watch, &message);
		if (step != REGISTRY_MESSAGE)
			break;
		s->waiting = h2_chunk_ref(message);
	}
	if (step != REGISTRY_LOST)
		return;
	struct grpc_call *call = s->call;
	stream_end(s);
	grpc_fail(call, GRPC_RESOURCE_EXHAUSTED,
		  "this stream fell more than %d deletions behind: open it again and list",
		  REGISTRY_DELETIONS_MAX);
}

/* From the registry, in the middle of its work: the rest of the turn may change more. */
static void on_wake(void *owner)
{
	struct stream *s = owner;
	loop_later(s->loop, &s->pump);
}

static void on_writable(struct grpc_call *call)
{
	on_wake(grpc_user(call));
}

static void on_cancelled(struct grpc_call *call)
{
	stream_end(grpc_user(call));
	grpc_finish(call);
}

void watch_start(struct service *service, struct grpc_call *call)
{
	static const struct grpc_call_ops ops = {.writable = on_writable,
						 .cancelled = on_cancelled};
	struct stream *s = arena_zalloc(grpc_arena(call), sizeof *s);

	s->loop = service->loop;
	s->call = call;
	s->pump.run = pump;
	grpc_set_ops(call, &ops, s);
	s->watch = registry_watch_open(service->registry, on_wake, s);
	loop_later(s->loop, &s->pump);
}
