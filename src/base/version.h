/* The version of this program, as every door says it. */
#ifndef OPENSHELL_BASE_VERSION_H
#define OPENSHELL_BASE_VERSION_H

#define OPENSHELL_VERSION "0.1.0"

#endif
