/* isolate/keeper: what a supervisor asks for, and gets, on every rung. */
#include <arpa/inet.h>
#include <poll.h>
#include <pty.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "isolate/keeper_impl.h"
#include "isolate/pocket.h"
#include "keeper.h"

static int status;

static void works(enum rung r)
{
	start(r);
	STREQ(said("echo hello; exit 7", &status), "hello\n");
	EQ(WEXITSTATUS(status), 7);
	stop();
}

TEST(keeper_on_the_rung_pocket)
{
	works(RUNG_POCKET);
}

TEST(keeper_on_the_rung_userns)
{
	works(RUNG_USERNS);
}

TEST(keeper_on_the_rung_host)
{
	works(RUNG_HOST);
}

TEST(keeper_on_the_rung_userns_for_anybody)
{
	become_nobody();
	works(RUNG_USERNS);
}

TEST(keeper_on_the_rung_host_for_anybody)
{
	become_nobody();
	works(RUNG_HOST);
}
