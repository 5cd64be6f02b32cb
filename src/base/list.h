/*
 * Intrusive doubly linked lists: the links live in the things that are linked, so that nothing is
 * allocated and an element leaves without a search. A list is a head that is its own neighbour
 * when empty; an element that is on no list is likewise its own neighbour.
 */
#ifndef OPENSHELL_BASE_LIST_H
#define OPENSHELL_BASE_LIST_H

#include <stdbool.h>

#include "base/util.h"

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

/* Links element e at the end of head. e must be on no list. */
static inline void list_add(struct list *head, struct list *e)
{
	e->prev = head->prev;
	e->next = head;
	head->prev->next = e;
	head->prev = e;
}

/* Takes e off its list; harmless when it is on none. */
static inline void list_del(struct list *e)
{
	e->prev->next = e->next;
	e->next->prev = e->prev;
	list_init(e);
}

/* The first element as its own type, or NULL. */
#define list_first(head, type, member)                                                             \
	(list_empty(head) ? NULL : container_of((head)->next, type, member))

/* Walks the list; the element in hand may be unlinked or freed by the body. */
#define list_each(it, head, type, member)                                                          \
	for (type *it = container_of((head)->next, type, member),                                  \
		  *it##_next = container_of(it->member.next, type, member);                        \
	     &it->member != (head);                                                                \
	     it = it##_next, it##_next = container_of(it->member.next, type, member))

#endif
