"""The networks that score pictures, by the method that they implement."""
