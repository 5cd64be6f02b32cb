#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/util.h"
#include "supervisor/terminal.h"

enum { ROWS = 24, COLUMNS = 80 }; /* supervisor contract 3.10 */

static struct termios before;
static int raw_fd = -1;

void terminal_restore(void)
{
	if (raw_fd >= 0)
		tcsetattr(raw_fd, TCSADRAIN, &before);
	raw_fd = -1;
}

int terminal_raw(int fd, struct err *e)
{
	static bool at_exit;
	struct termios raw;

	if (tcgetattr(fd, &before) < 0)
		return err_sys(e, "read the terminal's settings");
	raw = before;
	cfmakeraw(&raw);
	if (!at_exit && atexit(terminal_restore) != 0)
		return err_set(e, ENOMEM, "atexit");
	at_exit = true;
	if (tcsetattr(fd, TCSADRAIN, &raw) < 0)
		return err_sys(e, "change the terminal's settings");
	raw_fd = fd;
	return 0;
}

void terminal_resize(int master, int like)
{
	struct winsize size;

	if (ioctl(like, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
		ioctl(master, TIOCSWINSZ, &size);
}

void terminal_set_size(int master, uint16_t rows, uint16_t columns)
{
	const struct winsize size = {.ws_row = rows, .ws_col = columns};

	ioctl(master, TIOCSWINSZ, &size);
}

int terminal_new(int like, int *master, int *slave, struct err *e)
{
	int unlocked = 0;

	_cleanup_close_ int m = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (m < 0)
		return err_sys(e, "make a terminal: /dev/ptmx");
	/* by the master and not by a name, behind which the image may have put something else */
	_cleanup_close_ int s = ioctl(m, TIOCSPTLCK, &unlocked) < 0
					? -1
					: ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (s < 0)
		return err_sys(e, "make a terminal: TIOCGPTPEER");
	terminal_set_size(m, ROWS, COLUMNS);
	if (like >= 0)
		terminal_resize(m, like);
	*master = steal_fd(&m);
	*slave = steal_fd(&s);
	return 0;
}
