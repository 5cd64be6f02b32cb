/* Tells systemd how the service is (sd_notify(3)), when systemd asked for that. */
#ifndef OPENSHELL_DRIVER_NOTIFY_H
#define OPENSHELL_DRIVER_NOTIFY_H

/* Sends an assignment such as "READY=1" to $NOTIFY_SOCKET; nothing when that is not set, and what
 * goes wrong is not worth more than a warning. */
void notify_service_manager(const char *assignment);

#endif
