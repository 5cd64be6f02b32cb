#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/util.h"
#include "supervisor/hosts.h"

enum { ADDRESS_MAX = 64 };

static struct str next_word(struct str *line)
{
	*line = str_trim(*line);
	size_t n = 0;
	while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t')
		n++;
	struct str word = str_sub(line->p, n);
	*line = str_sub(line->p + n, line->n - n);
	return word;
}

static bool read_address(struct str word, struct address *out)
{
	char text[ADDRESS_MAX];

	if (word.n >= sizeof text)
		return false;
	memcpy(text, word.p, word.n);
	text[word.n] = '\0';
	return resolve_literal(text, 0, out);
}

static bool find(struct str text, const char *name, struct address *out)
{
	while (text.p != NULL) {
		struct str line = str_cut(&text, '\n');
		line = str_cut(&line, '#');
		struct str address = next_word(&line), word;

		while ((word = next_word(&line)).n > 0)
			if (str_ieq(word, str_of(name)) && read_address(address, out))
				return true;
	}
	return false;
}

bool hosts_gateway(struct str text, struct address *out)
{
	static const char *const names[] = {"host.openshell.internal", "host.containers.internal",
					    "host.docker.internal"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (find(text, names[i], out))
			return true;
	return false;
}
