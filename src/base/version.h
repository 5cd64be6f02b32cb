/* The version of this program, as every door says it. Not that of the contract: 0.0, for a while. */
#ifndef OPENSHELL_BASE_VERSION_H
#define OPENSHELL_BASE_VERSION_H

#define OPENSHELL_VERSION "0.0.1"

#endif
