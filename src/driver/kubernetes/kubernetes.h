/*
 * The backend `kubernetes`: sandboxes as Sandbox objects of agent-sandbox (agents.x-k8s.io), which
 * its controller turns into pods. What we know is in the cluster alone: a driver that is killed at
 * any step and started again goes on where it was.
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_KUBERNETES_H
#define OPENSHELL_DRIVER_KUBERNETES_KUBERNETES_H

#include "driver/backend.h"

extern const struct backend_ops kubernetes_backend;

#endif
