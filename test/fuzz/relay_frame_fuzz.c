/* A relay frame read in place, and by protobuf: what is a message to the one says the same to the other. */
#include <string.h>

#include "base/util.h"
#include "openshell.pb-c.h"
#include "supervisor/relay_frame.h"
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(1 << 20);
	struct str message = str_sub(p, n), data = STR_NONE;
	enum relay_frame what = relay_frame_read(message, &data);
	struct err e;

	if (what == RELAY_FRAME_DATA && data.n > 0)
		must(data.p >= message.p && data.p + data.n <= message.p + message.n);
	void *own = arena_zalloc(&a, n);
	if (n > 0)
		memcpy(own, p, n);
	const Openshell__V1__RelayFrame *f =
		wire_unpack(&openshell__v1__relay_frame__descriptor, own, n, &a, &e);
	if (f == NULL)
		return 0;
	bool has_data = f->payload_case == OPENSHELL__V1__RELAY_FRAME__PAYLOAD_DATA;
	must(has_data == (what == RELAY_FRAME_DATA));
	if (has_data)
		must(str_eq(data, str_sub(f->data.data, f->data.len)));
	return 0;
}
